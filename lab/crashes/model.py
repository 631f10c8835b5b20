"""One report of a kernel, and how it is told from another.

A report is named by what stays the same from one run to the next: its kind, and the functions it
happened in. Addresses, processes and times are left out. `fingerprint` holds offsets as well, and
so belongs to one build; `functions` is what builds of two revisions can be compared by.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

NAMED_FRAMES = 3  # that make a fingerprint


class Kind(StrEnum):
    """What a kernel reports."""

    OOPS = "oops"
    BUG = "bug"
    WARNING = "warning"
    KASAN = "kasan"
    UBSAN = "ubsan"
    LOCKDEP = "lockdep"
    ATOMIC = "atomic"  # slept, or scheduled, where that is not allowed
    HUNG_TASK = "hung task"
    SOFT_LOCKUP = "soft lockup"
    RCU_STALL = "rcu stall"
    MEMORY = "memory"  # the allocator's own checks
    OUT_OF_MEMORY = "out of memory"  # and whom the kernel killed for it
    LEAK = "leak"
    PANIC = "panic"


@dataclass(frozen=True)
class Frame:
    """A place in the kernel's code; `module` is empty for what is built in."""

    function: str
    offset: int = 0
    module: str = ""

    def __str__(self) -> str:
        place = f"{self.function}+{self.offset:#x}"
        return f"{place} [{self.module}]" if self.module else place

    @property
    def name(self) -> str:
        """The function as it is written in the source: without what the compiler appended."""
        return re.sub(r"\.(cold|isra|constprop|part|llvm)\b.*$", "", self.function)


@dataclass(frozen=True)
class Crash:
    """One report. `frames` begin with the innermost; `text` is the report as it was printed.

    `fatal` tells that the kernel did not go on. `taints` are the kernel's letters, as in "GOE".
    """

    kind: Kind
    title: str
    frames: tuple[Frame, ...] = ()
    fatal: bool = False
    taints: str = ""
    text: str = field(default="", compare=False, repr=False)
    complete: bool = field(default=True, compare=False, repr=False)

    @property
    def culprits(self) -> tuple[Frame, ...]:
        """The first frames that are not the machinery that reports, checks or waits."""
        own = [frame for frame in self.frames if not is_machinery(frame)]
        return tuple(own[:NAMED_FRAMES])

    @property
    def fingerprint(self) -> str:
        return self._named([f"{frame.name}+{frame.offset:#x}" for frame in self.culprits])

    @property
    def functions(self) -> str:
        """As the fingerprint, without offsets: what two builds of one source have in common."""
        return self._named([frame.name for frame in self.culprits])

    def _named(self, places: list[str]) -> str:
        # without a frame, the title is all there is
        return f"{self.kind}: {' < '.join(places) or self.title}"


# What stands between the fault and its report. Kept as one expression on whole names: a frame that
# is not recognised makes a coarser fingerprint, one too many recognised makes two faults one.
_MACHINERY = re.compile(
    r"""
    dump_stack(_lvl)? | show_stack\w* | show_regs | __?die(_body)? | oops_\w+ | \w*page_fault_oops
  | panic | \w*vpanic | __warn | __warn_printk | report_bug | handle_bug | warn_slowpath_\w+
  | (asm_)?(exc|sysvec|common_interrupt|do_error_trap|do_trap)\w* | __(bad_area|do_user_addr)\w*
  | bad_area\w* | do_user_addr_fault | __sysvec\w* | irq_exit\w* | __irq_exit\w* | handle_softirqs
  | __do_softirq | fixup_\w+ | no_context | kernelmode_fixup_or_oops
  | (__)?(kasan|asan|ubsan|kmsan|kcsan|kfence)\w* | check_region_inline | handle_overflow
  | (end|start)_report | print_\w+ | __report_\w+
  | __list_(add|del_entry)_valid\w* | refcount_warn_saturate | debug_print_object | __debug_\w+
  | debug_object_\w+ | __?check_heap_object | usercopy_abort | __fortify_\w+ | fortify_panic
  | lockdep_\w+ | check_noncircular | check_prev\w* | check_deadlock | validate_chain | mark_lock\w*
  | mark_held_locks | valid_state | __?lock_(acquire|release)\w* | debug_check_no_locks\w*
  | _?_raw_(spin|read|write)_\w+ | do_raw_(spin|read|write)_\w+
  | __?(mutex|ww_mutex|rt_mutex)_\w+ | mutex_\w+ | (__)?(down|up)_(read|write)\w*
  | rwsem_\w+ | __?schedule\w* | schedule\w* | preempt_schedule\w* | io_schedule\w*
  | __?wait_for_\w+ | wait_for_\w+ | msleep\w* | usleep_range\w* | __?might_\w+ | __might_resched
  | __schedule_bug | watchdog\w* | hung_task\w* | hrtimer_\w+ | __hrtimer\w+ | tick_\w+
  | update_process_times | scheduler_tick | sched_tick | rcu_\w+ | check_cpu_stall | sysrq_\w+stack
  | __?(kmalloc|kvmalloc|kzalloc|kmem_cache_alloc|kmem_cache_free|kfree|krealloc|kstrdup)\w*
  | kmemleak\w* | slab_\w+ | __slab_\w+ | ___slab\w+ | do_slab_free | free_to_partial\w*
  | object_err | check_(object|slab|bytes)\w* | free_debug_processing | alloc_debug\w*
  | __?mem(cpy|set|move|cmp)\w* | apic_timer\w* | ret_from_intr
    """,
    re.VERBOSE,
)


def is_machinery(frame: Frame) -> bool:
    """Whether a function reports, checks, waits or allocates on behalf of another."""
    return _MACHINERY.fullmatch(frame.name) is not None
