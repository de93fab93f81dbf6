from notebook_fixtures import book, shared_book  # noqa: F401
