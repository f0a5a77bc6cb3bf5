/*
 * Runs one program file in turn through two mounts, while a call of the Workload API waits for its answer.
 *
 *   exec-in-turn SOCKET PATH COVER REQUEST WANTED ATTEMPTS
 *
 * In namespaces of its own it hides the directory COVER under an empty one and mounts itself at PATH below it. PATH is
 * then the name that /proc/PID/exe shows for what is run through that mount. REQUEST is a file with the bytes of a call.
 * Prints how many of the attempts, of which there are fewer when a minute is over, were answered with a message that
 * holds WANTED, and how many in any way.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REFUSED = 1, SILENT = 3, BROKEN = 9, GRANTED = 10 };
/* How long one attempt lasts, and all of them. */
enum { SECONDS = 5, ALL_SECONDS = 60, AT_ONCE = 2 };

static void fail(const char *what) {
  perror(what);
  exit(BROKEN);
}

static char *number(long value) {
  char *text = malloc(24);
  snprintf(text, 24, "%ld", value);
  return text;
}

static void put(const char *file, const char *text) {
  int fd = open(file, O_WRONLY);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) fail(file);
  close(fd);
}

static void run(int program, char **arguments) {
  char *environment[] = {NULL};
  fexecve(program, arguments, environment);
  fail("fexecve");
}

/* One turn: looks at what has come, and goes on through the other mount. arguments: - SOCKET OTHER THIS WANTED UNTIL */
static void turn(char **arguments) {
  static char answer[65536];
  int fd = atoi(arguments[2]);
  long length = recv(fd, answer, sizeof answer, MSG_DONTWAIT | MSG_PEEK);
  if (length == 0) exit(REFUSED);
  if (length > 0 && memmem(answer, length, arguments[5], strlen(arguments[5]))) exit(GRANTED);
  for (long at = 0; at + 9 <= length;) {
    const unsigned char *frame = (unsigned char *)answer + at;
    /* A header frame that ends the stream: a status without a message. */
    if (frame[3] == 1 && (frame[4] & 1)) exit(REFUSED);
    at += 9 + (frame[0] << 16 | frame[1] << 8 | frame[2]);
  }
  if (time(NULL) > atol(arguments[6])) exit(SILENT);
  char *next[] = {arguments[0], "-", arguments[2], arguments[4], arguments[3], arguments[5], arguments[6], NULL};
  run(atoi(arguments[3]), next);
}

/* Makes the private mount in a process that lives on, and returns the pid of it. */
static int mounted(const char *path, const char *cover, const char *self) {
  int ready[2];
  int uid = getuid(), gid = getgid();
  if (pipe(ready)) fail("pipe");
  int pid = fork();
  if (pid == 0) {
    char map[64], made[4096];
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS)) fail("unshare");
    put("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %d 1", uid);
    put("/proc/self/uid_map", map);
    snprintf(map, sizeof map, "0 %d 1", gid);
    put("/proc/self/gid_map", map);
    if (mount("none", cover, "tmpfs", 0, NULL)) fail("mount tmpfs");
    for (const char *slash = strchr(path + strlen(cover) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
      snprintf(made, sizeof made, "%.*s", (int)(slash - path), path);
      mkdir(made, 0755);
    }
    close(open(path, O_CREAT | O_WRONLY, 0755));
    if (mount(self, path, NULL, MS_BIND, NULL)) fail("mount --bind");
    if (write(ready[1], "x", 1) != 1) fail("write");
    pause();
    _exit(0);
  }
  close(ready[1]);
  char byte;
  if (read(ready[0], &byte, 1) != 1) exit(BROKEN);
  return pid;
}

int main(int count, char **arguments) {
  if (count == 7 && !strcmp(arguments[1], "-")) turn(arguments);
  if (count != 7) return BROKEN;
  static char request[4096], self[4096], inside[8192];
  int file = open(arguments[4], O_RDONLY);
  long length = read(file, request, sizeof request);
  if (length <= 0 || readlink("/proc/self/exe", self, sizeof self - 1) < 0) fail("prepare");
  int keeper = mounted(arguments[2], arguments[3], self);
  snprintf(inside, sizeof inside, "/proc/%d/root%s", keeper, arguments[2]);
  int own = open(inside, O_PATH), host = open("/proc/self/exe", O_PATH);
  struct stat a, b;
  if (own < 0 || fstat(own, &a) || fstat(host, &b) || a.st_ino != b.st_ino) fail("the private mount");
  int attempts = atoi(arguments[6]), begun = 0, running = 0, granted = 0, answered = 0;
  time_t end = time(NULL) + ALL_SECONDS;
  while (begun < attempts || running > 0) {
    if (time(NULL) > end) attempts = begun;
    while (begun < attempts && running < AT_ONCE) {
      begun++;
      running++;
      if (fork() == 0) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        strncpy(address.sun_path, arguments[1], sizeof address.sun_path - 1);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(fd, (void *)&address, sizeof address)) fail("connect");
        if (send(fd, request, length, MSG_NOSIGNAL) != length) fail("send");
        char *next[] = {arguments[0], "-", number(fd), number(own), number(host), arguments[5],
                        number(time(NULL) + SECONDS), NULL};
        run(host, next);
      }
    }
    int status;
    if (wait(&status) < 0) break;
    running--;
    int result = WIFEXITED(status) ? WEXITSTATUS(status) : BROKEN;
    granted += result == GRANTED;
    answered += result == GRANTED || result == REFUSED;
  }
  kill(keeper, SIGKILL);
  printf("{\"granted\":%d,\"answered\":%d}\n", granted, answered);
  return 0;
}
