"""Counts that follow the work of all reviewers, as server-sent events."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import asdict

import sqlalchemy as sa
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import ServerSentEvent

from labelwise.review.database import Database
from labelwise.review.queue import Counts, Filter, counts
from labelwise.review.schema import verdict

PAUSE = 1.0  # seconds between two looks


class Live:
    """Counts of a database, counted once for all who want the same since the last verdict."""

    def __init__(self, database: Database):
        self._database = database
        self._looking = asyncio.Lock()
        self._version: int | None = None
        self._looked_at = float("-inf")
        self._counted: dict[Filter, Counts] = {}

    async def counts(self, wanted: Filter) -> tuple[int, Counts]:
        """The number of the last verdict and the counts then, at most half a pause old."""
        async with self._looking:
            if time.monotonic() - self._looked_at > PAUSE / 2:
                version = await run_in_threadpool(self._newest)
                if version != self._version:
                    self._version, self._counted = version, {}
                self._looked_at = time.monotonic()
            if wanted not in self._counted:
                self._counted[wanted] = await run_in_threadpool(counts, self._database, wanted)
            return self._version or 0, self._counted[wanted]

    async def events(self, wanted: Filter) -> AsyncIterator[ServerSentEvent]:
        """The counts at once, and again whenever they have changed."""
        sent: Counts | None = None
        while True:
            version, found = await self.counts(wanted)
            if found != sent:
                yield ServerSentEvent(event="counts", id=str(version), data=asdict(found))
                sent = found
            await asyncio.sleep(PAUSE)

    def _newest(self) -> int:
        newest = sa.select(sa.func.max(verdict.c.id))
        return self._database.read(lambda connection: connection.scalar(newest)) or 0
