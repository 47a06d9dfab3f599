"""Tables, one file a subject. Importing this package registers all of them."""
