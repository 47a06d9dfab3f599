"""One handler a file; `main.make_handlers` lists them."""
