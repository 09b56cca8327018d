"""What is written of a validation: a page to look at, and JUnit's XML for machines."""
