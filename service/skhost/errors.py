"""Every error the service answers with; each knows its HTTP status and its code.

ServiceError
├── Unauthorized         401  Forbidden 403
├── InvalidRequest       422  UploadRefused 422   ArtifactRefused 422
├── AdapterNotFound      404  VersionNotFound 404  AliasNotFound 404  JobNotFound 404
├── Conflict             409  JobInProgress 409  JobStateConflict 409  BaseIncompatible 409
├── AdapterUnusable      424
├── PayloadTooLarge      413  UploadTooLarge 413
├── RateLimited          429  Overloaded 429
├── Draining, NotReady, RegistryUnavailable, StoreUnavailable, AdapterQuarantined  503
└── DeadlineExceeded     504
"""

from typing import Any, ClassVar

_ANOTHER_ANSWERS_AFTER_S = 2.0  # another replica, or this one started again


class ServiceError(Exception):
    """Base of all errors of the service; never raised itself.

    Args:
        message: what was seen and what to do about it.
        details: JSON values that a program can use.
        retry_after_s: seconds after which trying again makes sense.

    Attributes:
        headers: of the answer, besides the usual ones.
        reason: one of a few words, for the metrics, where the code says too little.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    def __init__(
        self,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.retry_after_s = retry_after_s
        self.headers: dict[str, str] = {}
        self.reason = ""


class Unauthorized(ServiceError):
    """The request has no API key, or one that opens nothing."""

    status, code = 401, "unauthorized"

    def __init__(self, message: str, *, reason: str = "no_key") -> None:
        super().__init__(message)
        self.reason = reason
        problem = ', error="invalid_token"' if reason != "no_key" else ""
        self.headers["WWW-Authenticate"] = f'Bearer realm="skhost"{problem}'


class Forbidden(ServiceError):
    """The API key, or a request from where this one comes, may not do this."""

    status, code = 403, "forbidden"

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class InvalidRequest(ServiceError):
    """The request's values cannot be used."""

    status, code = 422, "invalid_request"


class UploadRefused(ServiceError):
    """The uploaded file cannot be trained on; `details["problems"]` lists why."""

    status, code = 422, "upload_refused"


class ArtifactRefused(ServiceError):
    """An imported archive is broken or hostile, or no adapter can be made of it."""

    status, code = 422, "artifact_refused"


class AdapterNotFound(ServiceError):
    """No adapter has this name; `details["near"]` has names that look like it."""

    status, code = 404, "adapter_not_found"


class VersionNotFound(ServiceError):
    """The adapter has no such version."""

    status, code = 404, "version_not_found"


class AliasNotFound(ServiceError):
    """The adapter has no such alias."""

    status, code = 404, "alias_not_found"


class JobNotFound(ServiceError):
    """No training job has this id."""

    status, code = 404, "job_not_found"


class Conflict(ServiceError):
    """The request contradicts what is there."""

    status, code = 409, "conflict"


class JobInProgress(ServiceError):
    """A job for this adapter name has not ended yet."""

    status, code = 409, "job_in_progress"


class JobStateConflict(ServiceError):
    """The job's state does not allow this."""

    status, code = 409, "job_state"


class BaseIncompatible(ServiceError):
    """The adapter belongs to another base model than this server holds."""

    status, code = 409, "base_mismatch"


class AdapterUnusable(ServiceError):
    """The adapter's artifact is broken or fails its self-test."""

    status, code = 424, "adapter_unusable"


class PayloadTooLarge(ServiceError):
    """The request's body is larger than the limit."""

    status, code = 413, "payload_too_large"


class UploadTooLarge(ServiceError):
    """The uploaded file is larger than the limit."""

    status, code = 413, "upload_too_large"


class RateLimited(ServiceError):
    """The API key or its tenant has used what it may; `retry_after_s` says for how long."""

    status, code = 429, "rate_limited"


class Overloaded(ServiceError):
    """The queue is full; `retry_after_s` says when it should have room."""

    status, code = 429, "overloaded"


class Draining(ServiceError):
    """The server is shutting down and takes no new work."""

    status, code = 503, "draining"

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after_s=_ANOTHER_ANSWERS_AFTER_S)


class NotReady(ServiceError):
    """The server cannot answer yet, or no longer."""

    status, code = 503, "not_ready"


class RegistryUnavailable(ServiceError):
    """Redis or Valkey does not answer."""

    status, code = 503, "registry_unavailable"


class StoreUnavailable(ServiceError):
    """The artifact store does not answer."""

    status, code = 503, "store_unavailable"


class AdapterQuarantined(ServiceError):
    """The version does not answer as it did when it was loaded on this server; others may serve it.

    An operator lifts it: DELETE /adapters/{name}/versions/{version}/quarantine.
    """

    status, code = 503, "adapter_quarantined"


class DeadlineExceeded(ServiceError):
    """The request was not finished within its time."""

    status, code = 504, "deadline_exceeded"
