"""Fill collection `theirs` as users of another library do: `.guests/bin/python make_collection.py LIBRARY URL`.

24 notes of 12 patients, two each, whose vectors lie close together; the patient is subject_id of the metadata.
"""

import sys
from collections.abc import Callable

import numpy as np

NOTES, DIM = 24, 8
rng = np.random.default_rng(0)
rows = np.repeat(rng.normal(size=(NOTES // 2, DIM)), 2, axis=0) + 0.05 * rng.normal(size=(NOTES, DIM))
VECTORS = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).tolist()
TEXTS = [f"secret {i}" for i in range(NOTES)]
ABOUT = [{"subject_id": f"P{i // 2}", "chunk": i % 2} for i in range(NOTES)]


def langchain_embeddings() -> object:
    from langchain_core.embeddings import Embeddings

    class Given(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [VECTORS[int(text.split()[1])] if text in TEXTS else VECTORS[0] for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    return Given()


def langchain_qdrant(url: str) -> None:
    from langchain_qdrant import QdrantVectorStore

    QdrantVectorStore.from_texts(
        TEXTS, langchain_embeddings(), ABOUT, url=url, collection_name="theirs", check_compatibility=False
    )


def langchain_milvus(url: str) -> None:
    from langchain_milvus import Milvus

    store = Milvus(
        langchain_embeddings(), collection_name="theirs", connection_args={"uri": url}, auto_id=True
    )
    store.add_texts(TEXTS, ABOUT)


def haystack_documents() -> list[object]:
    from haystack import Document

    return [
        Document(content=text, meta=about, embedding=row)
        for text, about, row in zip(TEXTS, ABOUT, VECTORS, strict=True)
    ]


def haystack_qdrant(url: str) -> None:
    from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

    store = QdrantDocumentStore(
        url=url, index="theirs", embedding_dim=DIM, client_kwargs={"check_compatibility": False}
    )
    store.write_documents(haystack_documents())


def haystack_milvus(url: str) -> None:
    from milvus_haystack import MilvusDocumentStore

    store = MilvusDocumentStore(collection_name="theirs", connection_args={"uri": url})
    store.write_documents(haystack_documents())


def llama_index_nodes() -> list[object]:
    from llama_index.core.schema import TextNode

    return [
        TextNode(text=text, metadata=about, embedding=row)
        for text, about, row in zip(TEXTS, ABOUT, VECTORS, strict=True)
    ]


def llama_index_qdrant(url: str) -> None:
    from llama_index.vector_stores.qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient

    client = QdrantClient(url=url, check_compatibility=False)
    QdrantVectorStore("theirs", client=client).add(llama_index_nodes())


def llama_index_milvus(url: str) -> None:
    from llama_index.vector_stores.milvus import MilvusVectorStore

    store = MilvusVectorStore(uri=url, collection_name="theirs", dim=DIM, use_async_client=False)
    store.add(llama_index_nodes())


MAKERS: dict[str, Callable[[str], None]] = {
    "langchain-qdrant": langchain_qdrant,
    "langchain-milvus": langchain_milvus,
    "haystack-qdrant": haystack_qdrant,
    "haystack-milvus": haystack_milvus,
    "llama-index-qdrant": llama_index_qdrant,
    "llama-index-milvus": llama_index_milvus,
}

if __name__ == "__main__":
    MAKERS[sys.argv[1]](sys.argv[2])
