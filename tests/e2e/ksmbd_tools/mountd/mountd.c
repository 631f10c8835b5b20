#include <netlink/genl/genl.h>
int mountd_main(void);
int mountd_main(void) { return nl_socket_alloc() == 0; }
