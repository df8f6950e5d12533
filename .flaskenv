# Read by the flask command: which app it works on.
FLASK_APP=app.command_line:create_command_app
