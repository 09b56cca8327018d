"""Which ISR? Search, cost model, result: what ``edaformer-tune`` is made of."""
