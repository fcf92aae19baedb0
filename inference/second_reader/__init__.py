"""A multi-modal language model as second reader of single cells: optional, off without an endpoint."""
