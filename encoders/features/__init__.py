"""Records as numbers: words, codes and laboratory values, and the latent space that they span."""
