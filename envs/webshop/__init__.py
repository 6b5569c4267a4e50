"""WebShop (Yao et al., arXiv 2207.01206): find and buy what an instruction asks for, as text and without Java.

The catalogue and the goals come from WebShop's own files, or from a generated shop; search is BM25.
"""

ENVIRONMENT = "envs.webshop.environment:WebShop"
