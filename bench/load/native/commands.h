/* The commands of agpload. Each prints its JSON object and returns the exit code. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "protocol.h"

int sink(const struct session *session);
int pour(const struct session *session);
int request(const struct session *session);
int respond(const struct session *session);

#endif
