"""Results on disk as a run would have left them, of which every figure is known beforehand."""
