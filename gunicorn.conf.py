"""How gunicorn serves the site. Read by gunicorn from the folder it is started in; operators set the settings."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from shared import db
from shared.settings import Settings, SettingsError

# Looked at here, before anything is forked: a worker that cannot start would only be seen as one that failed to boot.
try:
    _settings = Settings.from_environment()
    _engine = db.make_engine(_settings.database_url)
    db.check_database(_engine)
    _engine.dispose()
except SettingsError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

_host = f"[{_settings.bind}]" if ":" in _settings.bind else _settings.bind
bind = f"{_host}:{_settings.web_port}"
worker_class = "gthread"
# One process, unless said: the counters on /metrics are a process's own.
workers = _settings.web_concurrency
threads = 8
timeout = 60
graceful_timeout = 5
# A heartbeat file on a disk that stalls would look like a process that hangs.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
control_socket_disable = True
