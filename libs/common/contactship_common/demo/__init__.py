"""The bundled demo data set: Spanish sales meetings and their gold labels."""
