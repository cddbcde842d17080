"""One file a page; each calls verbs and draws what comes back."""
