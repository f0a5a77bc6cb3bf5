/*
 * Connects to SOCKET, then ends its main thread, while another goes on and holds the connection. That one becomes the
 * user nobody at SIGUSR1 (it alone: the system call, not the library's function), and runs sleep at SIGUSR2.
 *
 *   main-thread-ends SOCKET
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static void *live(void *nothing) {
  sigset_t *signals = nothing;
  for (;;) {
    int signal = 0;
    sigwait(signals, &signal);
    if (signal == SIGUSR1) syscall(SYS_setresuid, 65534, 65534, 65534);
    if (signal == SIGUSR2) execlp("sleep", "sleep", "60", NULL);
  }
}

int main(int count, char **arguments) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  pthread_t other;
  static sigset_t signals;
  if (count != 2) return 2;
  strncpy(address.sun_path, arguments[1], sizeof address.sun_path - 1);
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  sigaddset(&signals, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(fd, (void *)&address, sizeof address)) return 3;
  if (pthread_create(&other, NULL, live, &signals)) return 4;
  pthread_exit(NULL);
}
