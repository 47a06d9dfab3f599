"""One adapter a vendor behind one small Protocol."""
