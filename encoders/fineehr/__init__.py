"""Word2Vec-FineEHR: note vectors refined by a siamese network and category weights."""
