"""Sources whose tables and SELECTs are declared: what a declaration is, and the layout that it comes to."""
