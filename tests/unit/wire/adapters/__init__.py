"""The adapters to HTTP clients, which are private: each looked at by itself."""
