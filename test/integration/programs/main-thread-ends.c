/*
 * Connects to SOCKET, then ends its main thread, while another goes on and holds the connection.
 *
 *   main-thread-ends SOCKET
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void *live(void *nothing) {
  for (;;) pause();
  return nothing;
}

int main(int count, char **arguments) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  pthread_t other;
  if (count != 2) return 2;
  strncpy(address.sun_path, arguments[1], sizeof address.sun_path - 1);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(fd, (void *)&address, sizeof address)) return 3;
  if (pthread_create(&other, NULL, live, NULL)) return 4;
  pthread_exit(NULL);
}
