"""SegFormer (Xie et al., NeurIPS 2021, arXiv 2105.15203), out of Hugging Face folders."""
