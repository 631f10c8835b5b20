"""A scenario as a value: the steps a client takes, and what the documents expect of the server.

`lab.scenarios.script` records a catalogue function into an immutable `Scenario`, which serialises
to JSON, prints as documentation (`lab.scenarios.describe`), is carried out by `lab.client` and
judged by `lab.verdicts`. A scenario never knows which server it will meet: latitude is
`one_of(..., because=...)`, and a server's known differences live in its deviations file.

This package is copied into the client's container by itself: standard library only.
"""

from __future__ import annotations

from lab.scenarios.model.expectations import (
    EXPECTATION_TYPES,
    Expectation,
    ExpectCollected,
    ExpectDelivered,
    ExpectDistinct,
    ExpectField,
    ExpectNoInterim,
    ExpectPending,
    ExpectRecords,
    Match,
    Record,
    at_least,
    bits_clear,
    bits_set,
    equals,
    nonzero,
    one_of,
    same_as,
)
from lab.scenarios.model.protocol import (
    ANY_NAME,
    DIR_NAME,
    FILE_NAME,
    Action,
    Command,
    CompletionFilter,
    HeaderFlags,
    NtStatus,
    status_name,
)
from lab.scenarios.model.scenario import (
    DIALECT_2_0_2,
    EXPIRING_SESSIONS,
    Scenario,
    step_from_json,
)
from lab.scenarios.model.steps import (
    STEP_TYPES,
    USERS,
    Cancel,
    Collect,
    Connect,
    Cork,
    Drain,
    Drop,
    Fields,
    OnServer,
    Pause,
    Reauthenticate,
    Request,
    Scalar,
    Send,
    Step,
    Wait,
)

__all__ = [
    "ANY_NAME",
    "DIALECT_2_0_2",
    "DIR_NAME",
    "EXPECTATION_TYPES",
    "EXPIRING_SESSIONS",
    "FILE_NAME",
    "STEP_TYPES",
    "USERS",
    "Action",
    "Cancel",
    "Collect",
    "Command",
    "CompletionFilter",
    "Connect",
    "Cork",
    "Drain",
    "Drop",
    "ExpectCollected",
    "ExpectDelivered",
    "ExpectDistinct",
    "ExpectField",
    "ExpectNoInterim",
    "ExpectPending",
    "ExpectRecords",
    "Expectation",
    "Fields",
    "HeaderFlags",
    "Match",
    "NtStatus",
    "OnServer",
    "Pause",
    "Reauthenticate",
    "Record",
    "Request",
    "Scalar",
    "Scenario",
    "Send",
    "Step",
    "Wait",
    "at_least",
    "bits_clear",
    "bits_set",
    "equals",
    "nonzero",
    "one_of",
    "same_as",
    "status_name",
    "step_from_json",
]
