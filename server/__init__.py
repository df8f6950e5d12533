"""How gunicorn serves the site: no thread waits for a slow client."""
