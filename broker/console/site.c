/* See site.h. */
#include "site.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sodium.h>

#include "../memory.h"
#include "../moment.h"
#include "respond.h"

enum { CONNECTION_BYTES = 32 * 1024 }; /* a request's headers have room for most of it */

/* ---- connections ---- */

static struct arrival *arrival_of(struct MHD_Connection *connection) {
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* With the lock. */
static void end_arrival(struct site *site, struct arrival *arrival) {
    if (!arrival->ends)
        site->arrivals_open--;
    arrival->ends = true;
    shutdown(arrival->fd, SHUT_RDWR);
}

/* There are too many: whoever holds connections without having signed in makes room, the longest
 * held one first. So a stranger's crowd ends itself, and neither whoever is signed in nor whoever
 * comes with a request at once waits for it. With the lock. */
static void make_room(struct site *site) {
    struct arrival *oldest = NULL;
    if (site->arrivals_open <= SITE_CONNECTIONS_MAX)
        return;
    for (struct arrival *arrival = site->arrivals; arrival; arrival = arrival->next)
        if (!arrival->signed_in && !arrival->ends)
            oldest = arrival;
    if (oldest)
        end_arrival(site, oldest);
}

static void connection_changed(void *userdata, struct MHD_Connection *connection, void **context,
                               enum MHD_ConnectionNotificationCode code) {
    struct site *site = userdata;
    pthread_mutex_lock(&site->arrivals_lock);
    struct arrival *arrival = *context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        arrival = mem_alloc(sizeof *arrival);
        arrival->fd =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        arrival->waits_ms = moment_now().mono_ms;
        arrival->next = site->arrivals;
        arrival->link = &site->arrivals;
        if (arrival->next)
            arrival->next->link = &arrival->next;
        site->arrivals = arrival;
        site->arrivals_open++;
        *context = arrival;
        make_room(site);
    } else if (arrival) {
        site->arrivals_open -= !arrival->ends;
        *arrival->link = arrival->next;
        if (arrival->next)
            arrival->next->link = arrival->link;
        free(arrival);
        *context = NULL;
    }
    pthread_mutex_unlock(&site->arrivals_lock);
}

static void set_waiting(struct call *call, int64_t since_ms) {
    struct arrival *arrival = arrival_of(call->connection);
    pthread_mutex_lock(&call->site->arrivals_lock);
    if (arrival)
        arrival->waits_ms = since_ms;
    pthread_mutex_unlock(&call->site->arrivals_lock);
}

struct caller site_caller(const struct call *call) {
    return caller_of(
        MHD_get_connection_info(call->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
}

void site_note_caller(struct call *call, bool signed_in) {
    struct arrival *arrival = arrival_of(call->connection);
    pthread_mutex_lock(&call->site->arrivals_lock);
    if (arrival)
        arrival->signed_in = signed_in;
    pthread_mutex_unlock(&call->site->arrivals_lock);
}

/* The server's own time-out is for silence. Who sends a byte now and then is not let stay either.
 * Link's thread, once a second; a connection that ends leaves the list before it is closed. */
static void end_slow_arrivals(void *userdata) {
    struct site *site = userdata;
    int64_t now = moment_now().mono_ms;
    pthread_mutex_lock(&site->arrivals_lock);
    for (struct arrival *arrival = site->arrivals; arrival; arrival = arrival->next)
        if (arrival->waits_ms && now - arrival->waits_ms > SITE_REQUEST_MS)
            end_arrival(site, arrival);
    pthread_mutex_unlock(&site->arrivals_lock);
}

/* ---- requests ---- */

static void broker_answered(struct exchange *exchange) {
    struct call *call = exchange->owner;
    MHD_resume_connection(call->connection);
}

enum MHD_Result site_ask_broker(struct call *call) {
    call->asked = true;
    call->exchange.done = broker_answered;
    call->exchange.owner = call;
    MHD_suspend_connection(call->connection);
    if (!link_send(call->site->link, &call->exchange)) {
        exchange_fail(&call->exchange, "too many requests are under way");
        MHD_resume_connection(call->connection);
    }
    return MHD_YES;
}

static enum MHD_Result refuse_call(struct call *call) {
    if (call->ambiguous)
        return respond_refusal_and_close(call->connection, &call->refusal);
    if (!call->allow)
        return respond_refusal(call->connection, &call->refusal);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    if (response)
        MHD_add_response_header(response, "Allow", call->allow);
    return respond(call->connection, (unsigned)call->refusal.code, response, NULL, NULL);
}

static enum MHD_Result take_body(struct call *call, const char *piece, size_t *size) {
    size_t length = *size;
    *size = 0;
    if (!call->route) /* refused: it is read, so that the answer can be, and dropped */
        return MHD_YES;
    if (buffer_length(&call->body) + length > call->route->body_max)
        return MHD_NO;
    return buffer_append(&call->body, piece, length) ? MHD_YES : MHD_NO;
}

static struct call *call_new(struct site *site, struct MHD_Connection *connection) {
    struct call *call = mem_alloc(sizeof *call);
    call->site = site;
    call->connection = connection;
    call->exchange.fd = -1;
    return call;
}

/* Called with the headers, with each piece of the body, at its end, and again after a resume. */
static enum MHD_Result handle(void *userdata, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **context) {
    (void)version;
    struct call *call = *context;
    if (!call) {
        call = call_new(userdata, connection);
        *context = call;
        route_call(call, url, method);
        return call->early ? refuse_call(call) : MHD_YES;
    }
    if (*upload_size)
        return take_body(call, upload, upload_size);
    set_waiting(call, 0);
    if (!call->route)
        return refuse_call(call);
    return call->asked ? call->route->answer(call) : call->route->handler(call);
}

static void completed(void *unused, struct MHD_Connection *connection, void **context,
                      enum MHD_RequestTerminationCode code) {
    (void)unused;
    (void)connection;
    (void)code;
    struct call *call = *context;
    if (!call)
        return;
    set_waiting(call, moment_now().mono_ms);
    buffer_deinit(&call->body);
    exchange_deinit(&call->exchange);
    free(call);
    *context = NULL;
}

/* ---- coming up ---- */

void site_print_address(struct site *site) {
    char token[TOKEN_TEXT_SIZE];
    if (site->standing.set) {
        printf("keybroker-console: http://%s/\n", site->address);
    } else {
        token_new(&site->once, token);
        printf("keybroker-console: http://%s/?token=%s\n", site->address, token);
        sodium_memzero(token, sizeof token);
    }
    fflush(stdout);
}

static int complain(const char *address, int error) {
    fprintf(stderr, "keybroker-console: cannot listen at %s: %s\n", address, strerror(-error));
    return error;
}

/* Listen; fills listen_fd and, with the port that it became, address, cookie and gate. */
static int listen_at(struct site *site) {
    struct sockaddr_storage address = site->settings->address;
    socklen_t size = settings_address_size(&address);
    char host[INET6_ADDRSTRLEN + 2];
    bool v4 = address.ss_family == AF_INET;
    char *place = v4 ? host : host + 1;
    inet_ntop(address.ss_family,
              v4 ? (void *)&((struct sockaddr_in *)&address)->sin_addr
                 : (void *)&((struct sockaddr_in6 *)&address)->sin6_addr,
              place, INET6_ADDRSTRLEN);
    if (!v4) {
        host[0] = '[';
        strcat(host, "]");
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return complain(host, -errno);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
        int error = -errno;
        close(fd);
        return complain(host, error);
    }
    uint16_t port = ntohs(v4 ? ((struct sockaddr_in *)&address)->sin_port
                             : ((struct sockaddr_in6 *)&address)->sin6_port);
    site->listen_fd = fd;
    snprintf(site->address, sizeof site->address, "%s:%u", host, port);
    snprintf(site->cookie, sizeof site->cookie, "keybroker_%u", port);
    gate_init(&site->gate, host, port, site->settings->hosts);
    return 0;
}

static bool may_go_on(void *owner, uint64_t visit) {
    struct site *site = owner;
    return visits_go_on(&site->visits, visit, moment_now().mono_ms);
}

static bool read_tokens(struct site *site) {
    const struct settings *settings = site->settings;
    return (!settings->token_file || token_read_file(&site->standing, settings->token_file)) &&
           (!settings->metrics_token_file ||
            token_read_file(&site->metrics, settings->metrics_token_file));
}

static struct MHD_Daemon *serve(struct site *site) {
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle, site,
        MHD_OPTION_LISTEN_SOCKET, site->listen_fd, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)SITE_IDLE_S, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(SITE_CONNECTIONS_MAX + SITE_CONNECTIONS_ENDING), MHD_OPTION_NOTIFY_CONNECTION,
        connection_changed, site, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_END);
}

int site_start(struct site *site, const struct settings *settings) {
    *site = (struct site){ .settings = settings, .listen_fd = -1 };
    asset_prepare();
    if (!read_tokens(site))
        return -EACCES;
    int error = listen_at(site);
    if (error)
        return error;
    pthread_mutex_init(&site->arrivals_lock, NULL);
    feed_init(&site->feed, may_go_on, site);
    error = link_start(&site->link, settings->runtime_dir, &site->feed, end_slow_arrivals, site);
    if (error)
        return complain(site->address, error);
    site_print_address(
        site); /* before requests come: the token is the HTTP thread's from then on */
    site->daemon = serve(site);
    if (!site->daemon) {
        error = errno ? -errno : -EIO;
        complain(site->address, error);
    }
    if (!settings->loopback)
        fputs("keybroker-console: others reach this address, and what they send and see is not "
              "encrypted here: put TLS in front of it\n",
              stderr);
    return error;
}

void site_stop(struct site *site) {
    if (site->listen_fd < 0)
        return;
    if (site->link) { /* all that is suspended must have been resumed before the daemon stops */
        feed_stop(&site->feed);
        link_stop(site->link);
    }
    if (site->daemon)
        MHD_stop_daemon(site->daemon);
    site->link = link_free(site->link);
    feed_deinit(&site->feed);
    pthread_mutex_destroy(&site->arrivals_lock);
}
