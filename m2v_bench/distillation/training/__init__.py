"""Train a distilled model's rows on its teacher's embeddings of whole texts."""
