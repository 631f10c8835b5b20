// SPDX-License-Identifier: GPL-2.0
/*
 * Makes each of the reports that lab/crashes reads: insmod lab_crash.ko kind=warn
 *
 * Never part of the lab: it is built by hand to record tests/crashes/recorded (see the README).
 */
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

static char *kind = "warn";
module_param(kind, charp, 0);

struct thing {
	struct list_head link;
	char bytes[56];
};

static LIST_HEAD(things);
static DEFINE_SPINLOCK(one);
static DEFINE_SPINLOCK(two);
static DEFINE_MUTEX(held);
static void *leaked;

static noinline void lab_warn(void)
{
	WARN(1, "lab_crash: a warning with words, %d of them\n", 5);
}

static noinline void lab_warn_plain(void)
{
	WARN_ON(kind[0] != 0);
}

static noinline void lab_bug(void)
{
	BUG();
}

static noinline void lab_null(void)
{
	int *volatile nowhere = (int *)8;

	*nowhere = 1;
}

static noinline void lab_protection(void)
{
	int *volatile nowhere = (int *)0xdead000000000122UL;

	*nowhere = 1;
}

static noinline void lab_list(void)
{
	struct thing *first = kzalloc(sizeof(*first), GFP_KERNEL);
	struct thing *second = kzalloc(sizeof(*second), GFP_KERNEL);

	list_add(&first->link, &things);
	first->link.prev = &second->link;
	list_add(&second->link, &things);
}

static int lab_sleeper(void *unused)
{
	mutex_lock(&held);
	mutex_unlock(&held);
	return 0;
}

static noinline void lab_hung(void)
{
	mutex_lock(&held);
	kthread_run(lab_sleeper, NULL, "lab_sleeper");
}

static noinline void lab_spin(void)
{
	preempt_disable();
	for (;;)
		cpu_relax();
}

static noinline void lab_spin_irq(void)
{
	local_irq_disable();
	for (;;)
		cpu_relax();
}

static noinline void lab_atomic(void)
{
	spin_lock(&one);
	msleep(10);
	spin_unlock(&one);
}

static noinline void lab_use_after_free(void)
{
	struct thing *thing = kzalloc(sizeof(*thing), GFP_KERNEL);

	kfree(thing);
	pr_info("lab_crash: read %d\n", READ_ONCE(thing->bytes[3]));
}

static noinline void lab_out_of_bounds(void)
{
	char *bytes = kzalloc(17, GFP_KERNEL);
	int *volatile at = (int *)(bytes + 16);

	*at = 7;
	kfree(bytes);
}

static noinline void lab_double_free(void)
{
	struct thing *volatile thing = kzalloc(sizeof(*thing), GFP_KERNEL);

	kfree(thing);
	kfree(thing);
}

static noinline void lab_deadlock(void)
{
	spin_lock(&one);
	spin_lock(&two);
	spin_unlock(&two);
	spin_unlock(&one);
	spin_lock(&two);
	spin_lock(&one);
	spin_unlock(&one);
	spin_unlock(&two);
}

static noinline void lab_shift(void)
{
	volatile int by = 40;

	pr_info("lab_crash: %d\n", 1 << by);
}

static noinline void lab_index(void)
{
	static int few[4];
	volatile int at = 4;

	few[at] = 1;
	pr_info("lab_crash: %d\n", few[at]);
}

static noinline void lab_leak(void)
{
	int i;

	for (i = 0; i < 3; i++)
		leaked = kmalloc(100 + i, GFP_KERNEL);
	leaked = NULL;
}

static const struct {
	const char *name;
	void (*function)(void);
} kinds[] = {
	{ "warn", lab_warn },
	{ "warn-plain", lab_warn_plain },
	{ "bug", lab_bug },
	{ "null", lab_null },
	{ "protection", lab_protection },
	{ "list", lab_list },
	{ "hung", lab_hung },
	{ "spin", lab_spin },
	{ "spin-irq", lab_spin_irq },
	{ "atomic", lab_atomic },
	{ "use-after-free", lab_use_after_free },
	{ "out-of-bounds", lab_out_of_bounds },
	{ "double-free", lab_double_free },
	{ "deadlock", lab_deadlock },
	{ "shift", lab_shift },
	{ "index", lab_index },
	{ "leak", lab_leak },
};

static int __init lab_crash_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kind, kinds[i].name) == 0) {
			kinds[i].function();
			return 0;
		}
	}
	return -EINVAL;
}

static void __exit lab_crash_exit(void)
{
}

module_init(lab_crash_init);
module_exit(lab_crash_exit);
MODULE_DESCRIPTION("Reports on purpose");
MODULE_LICENSE("GPL");
