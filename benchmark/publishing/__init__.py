"""Publishing of results: archives with records, adapters and restored images, and their verification."""
