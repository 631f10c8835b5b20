int mountd_main(void) { return 1; }
