"""Locust's users: each asks for one thing the product does. See bench/locustfile.py."""
