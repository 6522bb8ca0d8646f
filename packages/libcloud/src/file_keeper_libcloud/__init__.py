"""The storage providers of Apache Libcloud for file-keeper."""
