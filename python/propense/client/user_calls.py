"""Calls of the user service."""

from __future__ import annotations

from functools import cached_property

from propense._proto import users_pb2
from propense._proto.users_pb2_grpc import UserServiceStub
from propense.client import answers, score_frames
from propense.client.answers import User, UserExport
from propense.client.calls import Calls
from propense.client.messages import profile_requests
from propense.progress import track
from propense.receipt import NOTHING_WRITTEN, Receipt
from propense.sources import Source
from propense.store_rows import profile_rows


class UserCalls(Calls):
    """Attributes in, and one user's data read, exported and erased."""

    @cached_property
    def _users(self) -> UserServiceStub:
        return UserServiceStub(self._connection.channel)

    def put_profiles(
        self, source: Source, *, user: str = "user_id", timeout: float | None = None
    ) -> Receipt:
        """Write attributes; attribute by attribute the last write wins, and missing ones stay.

        Parameters
        ----------
        source, user
            As in :func:`propense.read_profiles`.
        timeout
            Seconds for one batch of rows; left out: the client's.
        """
        rows = profile_rows(source, user=user)
        total = NOTHING_WRITTEN
        with track(f"writing profiles of {rows.where}", rows.frame.height) as report:
            for done, request in profile_requests(rows.frame):
                answer = self._call(self._users.PutProfiles, request, timeout)
                total += answers.receipt(answer.receipt)
                report(done)
        return total

    def get_user(self, user_id: str | int, *, timeout: float | None = None) -> User:
        """Give a user's attributes and the extent of the events.

        Raises
        ------
        NotFoundError
            The store knows nothing of the user.
        """
        name = score_frames.texts([user_id])[0]
        request = users_pb2.GetUserRequest(user_id=name)
        answer = self._call(self._users.GetUser, request, timeout)
        return answers.user(name, answer)

    def export_user(self, user_id: str | int, *, timeout: float | None = None) -> UserExport:
        """Give all that the store holds of a user.

        Raises
        ------
        NotFoundError
            The store knows nothing of the user.
        """
        name = score_frames.texts([user_id])[0]
        request = users_pb2.ExportUserRequest(user_id=name)
        call = self._stream(self._users.ExportUser, request, timeout)
        with self._connection.explained():
            return answers.user_export(name, call)

    def erase_user(self, user_id: str | int, *, timeout: float | None = None) -> Receipt:
        """Erase a user for good: events, attributes, and whatever comes of them later.

        Erasing someone unknown, or twice, succeeds.
        """
        request = users_pb2.EraseUserRequest(user_id=score_frames.texts([user_id])[0])
        answer = self._call(self._users.EraseUser, request, timeout)
        return answers.receipt(answer.receipt)
