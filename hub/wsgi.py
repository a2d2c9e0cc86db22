"""The WSGI application."""

import gc
import os

from django.core.wsgi import get_wsgi_application

YOUNG_OBJECTS = 50_000  # 5–10 MB, some tens of requests

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings")
application = get_wsgi_application()
# What has been imported lives as long as the process, so looking through it for garbage again and again is vain; and a
# request leaves few cycles, so 700 new objects, as Python sets it, are too soon to look. Together a seventh of the CPU.
gc.collect()
gc.freeze()
gc.set_threshold(YOUNG_OBJECTS, 20, 20)
