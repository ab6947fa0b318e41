"""Who is like this: neighbours of patients, texts and vectors."""
