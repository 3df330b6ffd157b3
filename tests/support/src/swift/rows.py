"""Merges the rows of standard input (`SIZE ETAG NAME` a line) into a container's database: DATABASE ACCOUNT CONTAINER"""
import sys
import time

from swift.common.utils import Timestamp
from swift.container.backend import ContainerBroker

broker = ContainerBroker(sys.argv[1], account=sys.argv[2], container=sys.argv[3])
# Written an hour ago: nothing of it is on its way.
at = Timestamp(time.time() - 3600).internal
rows = []
for line in sys.stdin:
    size, etag, name = line.rstrip('\n').split(' ', 2)
    rows.append({
        'name': name, 'created_at': at, 'size': int(size), 'content_type': 'application/octet-stream', 'etag': etag,
        'deleted': 0, 'storage_policy_index': 0, 'ctype_timestamp': None, 'meta_timestamp': None,
    })
for start in range(0, len(rows), 10000):
    broker.merge_items(rows[start:start + 10000])
