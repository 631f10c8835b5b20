#define KSMBD_TOOLS_VERSION "0.0-lab"
