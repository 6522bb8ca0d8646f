"""file-keeper in web applications.

* :mod:`file_keeper_web.links`: applications (WSGI, ASGI) that serve the signed links of local storages
* :mod:`file_keeper_web.flask`, :mod:`file_keeper_web.starlette` (FastAPI): ``send_file`` and ``receive``
* :mod:`file_keeper_web.tus`: resumable uploads by the tus protocol
"""
