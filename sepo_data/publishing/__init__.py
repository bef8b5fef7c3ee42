"""Publishing: upload to the Hub, and the manifest, Markdown and citation that go with it."""
