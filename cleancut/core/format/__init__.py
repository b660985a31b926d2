"""Format of the object store: manifests, recipes, pages, encryption (proto/FORMAT.md as code)."""
