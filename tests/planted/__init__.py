"""What is planted, and so known beforehand: the results of a bench on disk, and what tells conditions in a hospital."""
