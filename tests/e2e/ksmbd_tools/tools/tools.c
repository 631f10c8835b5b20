#include <glib.h>
int mountd_main(void);
int main(void) { g_printerr("these tools serve nobody\n"); return mountd_main(); }
