"""Pools on many machines that share one key: what they share, kept in Redis or Valkey.

Needs the extra ``redis``, and a server from 6.2 on that is no replica; asyncio only, because its
client is. One pool in each process::

    fleet = Fleet("redis://10.0.0.5:6379/0", name="crawl")
    async with SessionPool(budget=50_000, fleet=fleet) as pool:
        solution = await pool.solve(task, once=True)

The limits of each `Account`, the budget and the gate are those of all pools of the name: what
one of them is told of the key, the balance, a ban or a pause, the others know within a second or
so. A rate is kept evenly by all together, and up to a quarter of a second's worth of it is
given out ahead; set it 15 % below the real limit. How fast to send without a limit, and when to
poll, each pool learns by itself. No poll waits for the server.

With ``once`` a job is paid for once in the whole fleet, whatever delivers it and however often;
who asks for its `reference` meanwhile waits, and who asks later gets the same token as long as it
is valid. With ``Fleet(remember=86_400)`` nothing is paid for that was given out within a day: who
asks when its token has expired gets a `DeliveredBeforeError`, for rows that are to be done but
once; ``ezcaptcha batch --fleet`` does so.

``pool.fleet_status()`` and ``ezcaptcha fleet`` say how it all stands.

What becomes of what dies:

=============================== ==================================================================
a pool                          when its lease ends, 10 s after its last sign of life, the others
                                fetch what it has paid for; a createTask that it had in flight is
                                among their ``unknowns()``, and not repeated
a job delivered again, whose    `SubmissionUnknownError`; or it is bought again where
createTask may have been paid   ``on_unknown="retry"`` and ``unknown_budget`` of the fleet allow it
the server, for a while         nothing is created, what is paid is polled on, and what has
                                happened meanwhile is told when it is back; nobody is taken for
                                dead for that
the server, for good            the same, and after 10 s who is in line gets a `JournalError`
the server, full or read-only   the same
a server that starts again, or  it may have forgotten what came last, or everything: for up to 3 s
forgets; a replica that takes   nothing is created, and each pool tells again what it has sent and
over                            paid for; sums, budget spent and what the dead have left are as the
                                server has them
=============================== ==================================================================

Set the server to ``appendonly yes``. With ``appendfsync everysec``, its default, a power loss, and
a crash where the disk is slow, may take the last one or two seconds of what was told: lost is then
what pools that died in the same moment have paid for in them, and what was spent in them no longer
counts. ``appendfsync always`` loses nothing, and costs a write to the disk for each answer. A
``maxmemory-policy`` that forgets is refused when a pool is opened. A task in flight takes
about 0.7 KB, what it came to with ``once`` twice as much for two minutes, and what is remembered
0.1 KB.

Neither a client key nor a proxy, a site key or a whole URL gets there; references, hosts, task ids
and, for tasks of ``once``, their solutions do. Whoever can read it can use those tokens.
"""

from ezcaptcha_async.redis._fleet import Fleet

__all__ = ["Fleet"]
