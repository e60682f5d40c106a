"""The limits of the CAs, kept by us: what is spent is counted before the CA hears of it, so that it never refuses."""
