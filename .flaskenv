# Read by the flask command: which app it works on.
FLASK_APP=wsgi:app
