"""`cowpath.doors.glance.wsgi:application`: what a WSGI server is to serve."""

from cowpath.doors.glance.place import application as _made

application = _made()
