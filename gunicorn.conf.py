"""gunicorn's configuration for the site, read from the working folder. Operators change the settings instead."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from shared import db
from shared.settings import Settings, SettingsError

# Checked before anything is forked: of a worker that cannot start, gunicorn says only that it failed to boot.
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
# Reads requests and writes responses outside its threads, with deadlines.
worker_class = "server.worker.BufferingWorker"
# By default 1, because each process counts its own figures for /metrics.
workers = _settings.web_concurrency
threads = 8
# Longer than proxies keep an idle connection, so that they close it. If the site did, a form sent at that moment would
# get 502 from the proxy.
keepalive = 75
# Files are small, and a thread must not wait for a client that reads slowly.
sendfile = False
timeout = 60
graceful_timeout = 5
# Heartbeat files on a stalling disk would make the processes look hung.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
control_socket_disable = True
