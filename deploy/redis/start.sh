#!/bin/sh
# Starts a Redis server or a Sentinel in its container:  start.sh primary | replica | sentinel
# The configuration is copied into the volume at the first start. From then on the copy counts,
# because a failover rewrites it: a server that comes back must know which one is the primary now.
set -eu
role=$1
conf=${2:-/etc/tidegate-redis}    # directory with redis.conf and sentinel.conf
data=${3:-/data}
password=$(cat "${REDIS_PASSWORD_FILE:-/run/secrets/redis-password}")
umask 077

if [ "$role" = sentinel ]; then
    file=$data/sentinel.conf
    extra="sentinel auth-pass main $password"
else
    file=$data/redis.conf
    extra="requirepass $password
masterauth $password"
    [ "$role" = primary ] || extra="$extra
replicaof 172.30.1.11 6379"
fi
if [ ! -s "$file" ]; then
    { cat "$conf/$(basename "$file")"; echo "$extra"; } > "$file.new"
    mv "$file.new" "$file"
fi
[ "$role" = sentinel ] && exec redis-server "$file" --sentinel

# Removes a transaction that a crash has cut, as a whole (docs/concepts/torn-aof.md). Only the newest file
# can end in one.
newest=$(ls "$data"/appendonlydir/*.incr.aof 2>/dev/null | sort -V | tail -n 1)
[ -z "$newest" ] || echo y | redis-check-aof --fix "$newest"
exec redis-server "$file"
